"""How equations are solved: Newton's methods, continuation, the time loop with its protocols and checkpoints."""
