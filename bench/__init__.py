"""Measurements, side by side with stock CrypTen."""
