"""The board itself: chip, processor core, accelerator, peripherals, what is around the chip.

Behind a wall: it imports chip facts (``synthesize.chip``) and ``common``, and nothing else of ours.
"""
