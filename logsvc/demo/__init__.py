"""`logsvc demo`: the service, a collector and a small real training run, to be watched in the browser."""

from logsvc.demo.show import run

__all__ = ["run"]
