"""Files: durable writes, untrusted reads, locks, events, video and the origin of results."""
