"""A model of what surrounds the gate: CloudFormation, Lambda, Step Functions, License Manager, all on one virtual clock."""
