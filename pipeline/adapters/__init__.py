"""What carriers, aggregators and help desks send, turned into tracking events and complaints.

One file a provider, its vocabulary as a table on top. An adapter reads one document (a webhook's
body, a line, a row) and yields items (`pipeline.adapters.base.Item`): events that are valid on
their own, or why there is none. It does no I/O and knows no clock.
"""
