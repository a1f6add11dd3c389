"""The larger subcommands of `concept-algebra`, a file each."""
