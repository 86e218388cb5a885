"""The nouns and the ground: records, protocols, recipes, runs, files. Imports nothing else of vitret."""
