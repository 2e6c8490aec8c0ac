"""Reset the second factors of a member who lost their device."""
