"""Facts about the MAX78000: addresses, registers, limits and the cycle model.

Nothing here knows of a network, and only the standard library is imported, so that the compiler
and the virtual kit can share these tables and nothing else.
"""
