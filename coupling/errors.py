"""The two ways a command ends badly: the user's input is wrong, or the run failed."""


class UserError(Exception):
    """Wrong input. The message says which file, key and line, what was read, what is allowed and how to mend it."""

    exit_status = 2


class RunFailure(Exception):
    """A run that could not go on (diverged solve, full disk, lost run). The message says what is kept and how to resume."""

    exit_status = 1
