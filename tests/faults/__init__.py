"""Faults: what money does when processes, Redis, Kafka and providers fail.

`python -m tests.faults` runs the table of attacks (`make faults`); `--rows`, `--seeds` and
`--first` choose what, and every run is made anew by its row and seed. The system under test is
`forewarn deliver` as it ships, in processes of its own; between it and each of the others stands a
proxy that sees every step and strikes there, so nothing in the product knows of any of this.

| part            | what it does                                                                |
|-----------------|-----------------------------------------------------------------------------|
| `parts.py`      | one Kafka for all runs; Redis, topics, proxies and processes of one run     |
| `proxies.py`    | passes bytes on, and counts, delays, cuts or strikes at a request it knows  |
| `steps.py`      | the named steps of issuing, as the proxies see them                         |
| `zygote.py`     | starts `forewarn deliver` in a tenth of a second                            |
| `provider.py`   | the test provider: a process of its own, a durable list, switchable faults  |
| `verify.py`     | reads only that list and the topics, and counts                             |
| `rows/`         | one attack a function                                                       |
| `table.py`      | runs rows and prints the table                                              |
"""
