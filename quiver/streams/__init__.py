"""What a caller holds of one stream: buffers, bodies, streamed responses, channels."""
