"""cloud.py RUN FENCE_LAB ADDRESS NODE=ADDRESS/PREFIX,…: a small AWS for the lab: moto behind TLS, with power switches.

Why it exists: fence_aws, awsvip, awseip and the AWS CLI speak to AWS, and what they do there must have its effect here: an
instance that is stopped is a host whose power is cut, by its own management controller. What moto 5.2 does unlike AWS is put
right: a private address that is assigned anew leaves the interface that had it, that of an instance that is terminated is free,
and interfaces are found by any of their addresses; a public one moves without being asked to; a volume may be attached several times; an image can be imported.

Files in RUN/cloud: `instances` (NODE INSTANCE INTERFACE ADDRESS a line) when it is up; `changes`, a line for every call that changes
something; `denied`, made by a test: access keys that may neither see nor switch instances."""
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import boto3
import moto.server
from botocore.config import Config
from moto.core.responses import ActionResult, BaseResponse
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends, elastic_block_store, elastic_ip_addresses, elastic_network_interfaces, instances
from moto.ec2.responses import EC2Response
from moto.ec2.responses.instances import InstanceResponse
from moto.s3.models import s3_backends

run, fence_lab, address = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
hosts = dict(pair.split("=") for pair in sys.argv[4].split(",") if pair)
cloud = run / "cloud"
REGION, ZONE, ACCOUNT = "us-east-1", "us-east-1a", "123456789012"


# --- what was changed, and by whom

call = BaseResponse.call_action


def key_of(request):
    found = re.search(r"Credential=(\w+)/", request.headers.get("Authorization", ""))
    return found[1] if found else "nobody"


def noted_call(self):
    action = self._get_action()
    if action and not action.startswith(("Describe", "Get", "List")):
        with open(cloud / "changes", "a") as changes:
            print(key_of(self), action, file=changes, flush=True)
    return call(self)


BaseResponse.call_action = noted_call


# --- power

def host_of(instance):
    return next((name for name, at in hosts.items() if at.split("/")[0] == instance.private_ip), None)


def switch(instance, how):
    host = host_of(instance)
    if not host:
        return
    options = f"action={how}\nip={run}\nplug={host}\nusername=admin\npassword=sesame\n"
    done = subprocess.run([fence_lab], input=options, capture_output=True, text=True)
    print("power", host, how, done.returncode, done.stdout, done.stderr, flush=True)
    if done.returncode != 0:
        raise EC2ClientError("InternalError", f"{host} cannot be switched {how}")


stop, start, terminate = instances.Instance.stop, instances.Instance.start, instances.Instance.terminate


def stop_with_power(self, *args, **kwargs):
    switch(self, "off")
    return stop(self, *args, **kwargs)


def boot(instance):
    # An instance takes its time to boot; a host of the lab, in a second, would be back before its fencing is noted.
    time.sleep(5)
    switch(instance, "on")


def start_with_power(self, *args, **kwargs):
    before = start(self, *args, **kwargs)
    # AWS says that it starts, and goes on by itself.
    threading.Thread(target=boot, args=(self,), daemon=True).start()
    return before


def terminate_and_free(self, *args, **kwargs):
    subnet, private_ip = self.ec2_backend.get_subnet(self.subnet_id), self.private_ip
    before = terminate(self, *args, **kwargs)
    subnet.del_subnet_ip(private_ip)
    return before


instances.Instance.stop, instances.Instance.start = stop_with_power, start_with_power
instances.Instance.terminate = terminate_and_free


def allowed(method):
    def asked(self):
        denied = cloud / "denied"
        if denied.exists() and key_of(self) in denied.read_text().split():
            raise EC2ClientError("UnauthorizedOperation", "You are not authorized to perform this operation.")
        return method(self)

    return asked


InstanceResponse.describe_instances = allowed(InstanceResponse.describe_instances)
InstanceResponse.stop_instances = allowed(InstanceResponse.stop_instances)
InstanceResponse.start_instances = allowed(InstanceResponse.start_instances)


# --- addresses

assign = elastic_network_interfaces.NetworkInterfaceBackend.assign_private_ip_addresses
associate = elastic_ip_addresses.ElasticAddressBackend.associate_address


def assign_and_take_away(self, eni_id, private_ip_addresses=None, secondary_ips_count=None):
    for eni in self.enis.values():
        if eni.id != eni_id and private_ip_addresses:
            eni.private_ip_addresses[:] = [
                a for a in eni.private_ip_addresses if a["PrivateIpAddress"] not in private_ip_addresses
            ]
    return assign(self, eni_id, private_ip_addresses, secondary_ips_count)


def associate_and_take_away(self, instance=None, eni=None, address=None, allocation_id=None, reassociate=False):
    for one in self.address_by_allocation([allocation_id]) if allocation_id else []:
        if one.eni and one.eni.public_ip == one.public_ip:
            one.eni.public_ip = None
    return associate(self, instance, eni, address, allocation_id, bool(allocation_id) or reassociate)


filter_value = elastic_network_interfaces.NetworkInterface.get_filter_value


def filter_value_of_every_address(self, filter_name, method_name=None):
    if filter_name == "addresses.private-ip-address":
        return [a["PrivateIpAddress"] for a in self.private_ip_addresses]
    return filter_value(self, filter_name, method_name)


elastic_network_interfaces.NetworkInterface.get_filter_value = filter_value_of_every_address
elastic_network_interfaces.NetworkInterfaceBackend.assign_private_ip_addresses = assign_and_take_away
elastic_ip_addresses.ElasticAddressBackend.associate_address = associate_and_take_away


# --- volumes of several instances; what is attached, its host sees

attach = elastic_block_store.EBSBackend.attach_volume
detach = elastic_block_store.EBSBackend.detach_volume


def disk(instance, volume_id):
    # What was launched here is nobody's host.
    folder = cloud / "disks" / (host_of(instance) or "nobody")
    folder.mkdir(exist_ok=True)
    return folder / volume_id.replace("-", "")


def attach_one_more(self, volume_id, instance_id, device_path, *args, **kwargs):
    attachment = attach(self, volume_id, instance_id, device_path, *args, **kwargs)
    volume = self.get_volume(volume_id)
    volume.several = [a for a in getattr(volume, "several", []) if a.instance.id != instance_id] + [attachment]
    disk(attachment.instance, volume_id).touch()
    return attachment


def detach_one(self, volume_id, instance_id, device_path):
    volume = self.get_volume(volume_id)
    rest = [a for a in getattr(volume, "several", []) if a.instance.id != instance_id]
    volume.attachment = next((a for a in getattr(volume, "several", []) if a.instance.id == instance_id), None)
    attachment = detach(self, volume_id, instance_id, device_path)
    volume.several, volume.attachment = rest, (rest[-1] if rest else None)
    disk(attachment.instance, volume_id).unlink(missing_ok=True)
    return attachment


elastic_block_store.EBSBackend.attach_volume = attach_one_more
elastic_block_store.EBSBackend.detach_volume = detach_one
elastic_block_store.Volume.attachments = property(lambda self: getattr(self, "several", []))


# --- the import of an image; it takes two seconds

tasks = {}


def import_snapshot(self):
    container = self._get_param("DiskContainer", {})
    where = container["UserBucket"]
    if not s3_backends[ACCOUNT]["aws"].get_object(where["S3Bucket"], where["S3Key"]):
        raise EC2ClientError("InvalidParameter", f"there is no {where['S3Key']} in {where['S3Bucket']}")
    backend = ec2_backends[ACCOUNT][REGION]
    volume = backend.create_volume(size=1, zone_name=ZONE)
    snapshot = backend.create_snapshot(volume.id, container.get("Description", ""))
    task = f"import-snap-{len(tasks):017x}"
    tasks[task] = (time.monotonic() + 2, self._get_param("Description", ""), snapshot.id)
    return ActionResult({"ImportTaskId": task, "Description": tasks[task][1], "SnapshotTaskDetail": {"Status": "active"}})


def describe_import_snapshot_tasks(self):
    def shown(task):
        ready, description, snapshot = tasks[task]
        done = {"Status": "completed", "SnapshotId": snapshot} if time.monotonic() > ready else {"Status": "active"}
        return {"ImportTaskId": task, "Description": description, "SnapshotTaskDetail": done}

    return ActionResult({"ImportSnapshotTasks": [shown(task) for task in tasks]})


EC2Response.import_snapshot = import_snapshot
EC2Response.describe_import_snapshot_tasks = describe_import_snapshot_tasks


# --- the instances that there are

def launch():
    def client(service):
        key = {"aws_access_key_id": "AKIACONSOLE", "aws_secret_access_key": "console", "region_name": REGION}
        config = Config(retries={"max_attempts": 0})
        return boto3.client(service, endpoint_url=f"https://{address}", verify=str(cloud / "ca.pem"), config=config, **key)

    ec2 = client("ec2")
    while True:
        try:
            vpc = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
            break
        except Exception as error:
            print("not yet:", error, flush=True)
            time.sleep(0.2)
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.77.0.0/24", AvailabilityZone=ZONE)["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="cluster", Description="cluster", VpcId=vpc)["GroupId"]
    ec2.create_key_pair(KeyName="cluster-admin")
    lines = []
    for name, at in hosts.items():
        tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": name}]}]
        (one,) = ec2.run_instances(
            ImageId="ami-12c6146b", MinCount=1, MaxCount=1, InstanceType="t3.medium", SubnetId=subnet,
            PrivateIpAddress=at.split("/")[0], TagSpecifications=tags,
        )["Instances"]
        lines.append(f"{name} {one['InstanceId']} {one['NetworkInterfaces'][0]['NetworkInterfaceId']} {at.split('/')[0]}\n")
    (cloud / "network").write_text(f"{subnet} {group} cluster-admin\n")
    (cloud / "changes").write_text("")
    (cloud / "instances.part").write_text("".join(lines))
    (cloud / "instances.part").rename(cloud / "instances")


threading.Thread(target=launch, daemon=True).start()
moto.server.main(["-H", address, "-p", "443", "-c", str(cloud / "aws.pem"), "-k", str(cloud / "aws.key")])
