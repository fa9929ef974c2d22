"""The API's addresses, one file for each kind of thing."""
