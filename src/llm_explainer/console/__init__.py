"""What people see: progress, live views and tables on a terminal."""
