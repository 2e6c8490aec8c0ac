"""Change the settings of many environments at once: preview, job, result, and its reversal."""
