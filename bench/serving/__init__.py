"""`invoke bench --only serving`: what metrics, access log and request ids cost, in requests per second."""
