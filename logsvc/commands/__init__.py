"""What `logsvc follow` and `logsvc search` do; `logsvc.cli` reads their arguments."""
