"""One module for each client whose scenario is written here: programs, and libraries of Python."""
