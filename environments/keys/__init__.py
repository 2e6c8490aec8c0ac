"""API keys: personal ones, and those of an organisation."""
