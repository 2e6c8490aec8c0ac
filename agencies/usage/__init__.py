"""How much was stored, by day or month and by channel, up to the beginning: page, chart and file."""
