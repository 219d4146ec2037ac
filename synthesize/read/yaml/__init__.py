"""Network descriptions in the language of ai8x-synthesis."""
