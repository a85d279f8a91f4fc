"""What lasts: durable writes, distrustful reads, locks, events, video, where a result is from."""
