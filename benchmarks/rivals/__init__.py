"""The programs that `benchmarks.orchestration` runs a sweep beside."""
