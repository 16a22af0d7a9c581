# Three hosts of Debian that are instances in a small AWS of their own, and nothing but their addresses is set up.
#
# Why it exists: pcs, Pacemaker, Corosync, fence_aws, awsvip, awseip, IPaddr2 and the AWS CLI are the distribution's own here,
# unmodified; AWS is moto behind TLS, under AWS's own names (`cloud.py`), and to stop an instance is to cut its host's power.
# What it needs is large, so `prepare` in this folder makes it, and only who wants it.

lab_nodes='nodea nodeb nodec'
lab_gateway=10.77.0.1/24
aws_recipe=$(cat "$lab_world/prepare" | cksum)
aws_dir=$lab_dir/aws-${aws_recipe%% *}
lab_layer=$aws_dir/layer
aws_venv=$aws_dir/venv
# The names under which the AWS CLI and boto3 look for AWS.
aws_names='ec2.us-east-1.amazonaws.com sts.us-east-1.amazonaws.com sts.amazonaws.com iam.amazonaws.com
  s3.us-east-1.amazonaws.com s3.amazonaws.com hawiz-images.s3.us-east-1.amazonaws.com hawiz-images.s3.amazonaws.com'

address() { # node
  case $1 in nodea) echo 10.77.0.21/24 ;; nodeb) echo 10.77.0.22/24 ;; nodec) echo 10.77.0.23/24 ;; esac
}
binds() { # run node
  # Where the disks that are attached to the instance can be seen (`guest/usr/local/bin/lsblk`).
  echo "--bind-ro=$1/cloud/disks/$2:/run/lab-disks"
}
furnish_run() { # run
  cloud=$1/cloud
  for node in $lab_nodes; do mkdir -p "$cloud/disks/$node"; done
  # shellcheck disable=SC2086
  printf '%s\n' '127.0.0.1 localhost' "${lab_gateway%/*} $(echo $aws_names)" >"$cloud/hosts"
  # shellcheck disable=SC2086
  names=$(printf 'DNS:%s,' $aws_names)IP:${lab_gateway%/*}
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=hawiz-lab -keyout "$cloud/ca.key" \
    -out "$cloud/ca.pem" -addext basicConstraints=critical,CA:TRUE 2>/dev/null
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=aws -keyout "$cloud/aws.key" -out "$cloud/aws.csr" 2>/dev/null
  echo "subjectAltName=$names" >"$cloud/aws.ext"
  openssl x509 -req -in "$cloud/aws.csr" -CA "$cloud/ca.pem" -CAkey "$cloud/ca.key" -CAcreateserial -days 30 \
    -out "$cloud/aws.pem" -extfile "$cloud/aws.ext" 2>/dev/null
  # Three keys, as a careful site has them: whoever fences, the nodes, and the person at the console.
  for who in fence nodes console; do
    printf '[default]\naws_access_key_id=AKIA%s\naws_secret_access_key=%s-secret-of-aws\n' \
      "$(echo "$who" | tr '[:lower:]' '[:upper:]')" "$who" >"$cloud/credentials.$who"
  done
  printf '[default]\nregion=us-east-1\n' >"$cloud/config"
  mkdir -p "$cloud/bin"
  ln -s "$aws_venv/bin/aws" "$cloud/bin/aws"
  start "$1" cloud nsenter "--net=/run/netns/hzlab-${1##*/}-wire" \
    "$aws_venv/bin/python" "$lab_world/cloud.py" "$1" "$here/fence_lab" "${lab_gateway%/*}" \
    "$(for node in $lab_nodes; do echo "$node=$(address "$node")"; done | tr '\n' ',')"
  tries=0
  while [ ! -e "$cloud/instances" ]; do
    lives "$1/started/cloud" || { tail "$1/started/cloud.log" >&2; die "AWS did not come up"; }
    tries=$((tries + 1))
    [ "$tries" -lt 600 ] || die "AWS does not come up"
    sleep 0.1
  done
}
furnish() { # node root
  run=${2%/*/root}
  cloud=$run/cloud
  cp "$cloud/hosts" "$2/etc/hosts"
  cat "$cloud/ca.pem" >>"$2/etc/ssl/certs/ca-certificates.crt"
  mkdir -p "$2/root/.aws"
  cp "$cloud/credentials.nodes" "$2/root/.aws/credentials"
  cp "$cloud/config" "$2/root/.aws/config"
  net=/run/netns/hzlab-${run##*/}-$1
  nsenter "--net=$net" ip addr add 169.254.169.254/32 dev lo
  # shellcheck disable=SC2046
  start "$run" "imds-$1" nsenter "--net=$net" "$aws_venv/bin/python" "$lab_world/imds.py" $(grep "^$1 " "$cloud/instances")
}
