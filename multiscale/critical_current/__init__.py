"""The critical-current case: from its cell and its inputs to a critical current density with an error bar."""
