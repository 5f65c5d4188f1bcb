# The report: one HTML page with tables and plots, of the Python standard library alone.
