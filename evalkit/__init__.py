"""Virtual evaluation kit: the MAX78000 modelled from its registers, without the compiler."""
