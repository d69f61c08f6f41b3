"""The parts that formats share: pixels out of files, other types of numbers as uint8, labels, tables."""
