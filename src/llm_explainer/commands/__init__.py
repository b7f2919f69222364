"""The commands: they read options, call the library and show what comes back."""
