"""Legal holds, which stop deletion."""
