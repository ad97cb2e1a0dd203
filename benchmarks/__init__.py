"""What things cost, as ratios against floors and peers measured in the same run: ``python -m benchmarks``."""
