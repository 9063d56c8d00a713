"""What people would pick instead, doing less: counting scans a parcel, exactly once.

Each program is one process that reads TOPIC of BROKER as GROUP from its beginning, keeps what it
must in DATADIR, and writes `done N` to standard error.
"""
