"""The result database: schema, sink, queries, exports and the commands `stargen db ...`."""
