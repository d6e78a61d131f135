"""What runs inside LocalStack 4.9.2, in its own virtual environment, and gives it what its open edition lacks.

- ``runtime``: functions and layers that run, in AWS's Runtime Interface Emulator instead of in containers
- ``stack_lifecycles``: CloudFormation's lifecycles: rollback of creates and updates, clean-up, delete while a create is in flight
- ``executor``: one deployment, up to its first failure and back
- ``resources``: custom resources, wait conditions and their handles, dashboards and saved queries
- ``edge_server``: nothing but loopback
- ``storage``: S3 in the run's own folder, DynamoDB in LocalStack's own process
- ``conversions``: what a state machine that converts instances needs of EC2, License Manager and Step Functions
- ``query_language``: JSONata without a JVM, failing where AWS fails
- ``beginning``: what happens first
- ``permissions``: IAM, for every call that is made in a role's or a person's name

LocalStack finds them through ``entry_points/local_cloud-1.dist-info``. ``cloud_settings`` reads what ``cloud.py`` hands over.
"""
