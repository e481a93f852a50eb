"""What people run: training, single solves, figures, reports, the command line."""
