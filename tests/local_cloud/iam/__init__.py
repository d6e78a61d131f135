"""Who may do what on the local cloud: each call is judged by the policies of the role, or the person, that makes it.

- ``engine.mjs``, ``engine.py``: a policy engine that exists (iam-simulate, on Node), as one process beside LocalStack
- ``needs.py``: which actions on which resources an AWS call asks for, and in which context
- ``judge.py``: a principal, an action and a resource to a verdict in AWS's words
- ``person.py``: the rights of a person, as docs/permissions.md gives them to be pasted

What finds the principal of a call runs inside LocalStack: ``localstack_plugins/permissions.py``. Standard library alone here,
because both virtual environments use it.

Not judged: calls with the local cloud's own key ("test"), which belong to the account's root, and those that LocalStack makes
for itself. Left out are permissions boundaries and resource policies (a queue's, a function's, a key's), but for the trust policy
of a role that another role assumes.
"""
