"""The bundle: one folder of files, their contract, their hashes and their proof."""
