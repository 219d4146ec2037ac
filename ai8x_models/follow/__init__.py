"""Following people over pictures: twins of the firmware's C (``firmware_templates/track``)."""
