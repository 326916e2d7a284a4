"""What CloudFormation makes of template.yaml: the SAM transform, here and without an account.

    python3 deploy/translate.py    # JSON on standard output
"""

import json
import pathlib
import sys

from boto3 import Session
from samtranslator.parser.parser import Parser
from samtranslator.public.translator import Translator
from samtranslator.yaml_helper import yaml_parse

TEMPLATE = pathlib.Path(__file__).resolve().parent.parent / "template.yaml"


def source():
    """The template as it stands, its short intrinsics spelt out."""
    return yaml_parse(TEMPLATE.read_text())


def translated(code="s3://bucket/code.zip"):
    """The CloudFormation template, the same whatever the parameters: they and the conditions are still to be worked out.
    `code` stands for what `sam deploy` uploads.

    No managed policies are looked up in IAM: the template names none.
    """
    template = source()
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = code
    # The transform wants a region to know the partition by. Nothing is asked there.
    translator = Translator(None, Parser(), boto_session=Session(region_name="eu-west-1"))
    return translator.translate(template, {}, get_managed_policy_map=lambda: {})


if __name__ == "__main__":
    json.dump(translated(), sys.stdout, indent=1)
