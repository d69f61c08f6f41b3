"""Networks in 8-bit integers: how they are made, and what they are worth beside the float one."""
