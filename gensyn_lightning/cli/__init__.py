"""The `gensyn` command, a module per verb: people read stderr, programs read stdout."""
