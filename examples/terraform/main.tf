# A Terraform resource that is there when a license type conversion has finished.
#
# Use it when: your infrastructure is in Terraform. A custom resource needs CloudFormation, so a small stack waits (stack-gate.yaml,
#   beside this folder), and Terraform waits for the stack.
# Needs: the application, and the id of a task.
# Deploy, in this folder:
#   terraform init
#   terraform apply -var license_conversion_task_id=lct-0123456789abcdef0
# Then: aws_cloudformation_stack.gate is being created while the conversion runs; where it fails, Terraform shows the Reason. What
#   must come after the conversion names the stack's outputs, as `billed_as` does, or has it in its depends_on.
# Leaves behind: the stack with its SSM parameter, until `terraform destroy`. The stack imports the application's export, so that
#   CloudFormation keeps the application from being deleted as long as the stack stands: Terraform itself knows nothing of it.

terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "license_conversion_task_id" {
  description = "The conversion task to wait for."
  type        = string

  validation {
    condition     = can(regex("^lct-[A-Za-z0-9]+$", var.license_conversion_task_id))
    error_message = "A conversion task's id is lct- and letters and digits."
  }
}

variable "stack_name" {
  description = "Name of the stack that waits."
  type        = string
  default     = "license-conversion"
}

resource "aws_cloudformation_stack" "gate" {
  name          = var.stack_name
  template_body = file("${path.module}/../stack-gate.yaml")

  parameters = {
    LicenseConversionTaskId = var.license_conversion_task_id
    ServiceTimeout          = 3600
    OnFailure               = "FAIL"
  }

  # The provider gives up after 30 minutes. An hour is the gate's, the rest the rollback's.
  timeouts {
    create = "75m"
    update = "75m"
  }
}

output "billed_as" {
  description = "Usage operation that the instance is billed by since the conversion."
  value       = aws_cloudformation_stack.gate.outputs["DestinationUsageOperation"]
}

output "resource_arn" {
  description = "The resource that was converted."
  value       = aws_cloudformation_stack.gate.outputs["ResourceArn"]
}
