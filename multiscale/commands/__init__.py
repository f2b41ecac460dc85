"""The groups of the command line, one file each; heavy imports happen inside the commands, after the input has been checked."""
