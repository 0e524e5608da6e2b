"""The page that ``dialogue-gym serve`` shows: dialogues in threads, their HTTP interface, its three files."""
