"""What we show: views that can be dropped and folded again from the events."""
