"""logsvc: a log and monitoring service for machine-learning training jobs."""
