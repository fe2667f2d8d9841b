"""The kinds of tokens as GGUF numbers them, and how large a vocabulary may be."""

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = KINDS = range(1, 7)

# More than any vocabulary has, and few enough to be read at once.
MAX_TOKENS = 3 << 17
MAX_MERGES = 3 << 18
MAX_SPECIAL, MAX_SPECIAL_TEXT = 1 << 14, 1 << 18  # tokens that are found by their names, and characters of these
MAX_LENGTHS = 128  # of these names that are different: where a name may begin, each is tried
