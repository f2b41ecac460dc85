"""`multiscale view`: runs and sweeps in the browser, from a server on this machine that only this machine reaches."""
