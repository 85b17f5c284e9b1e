"""Tools of the people who work on this repository; nothing here is installed with the package."""
