Ring parameters for ens1f0:
Pre-set maximums:
RX:			8160
RX Mini:		n/a
RX Jumbo:		n/a
TX:			8160
TX push buff len:	n/a
Current hardware settings:
RX:			4096
RX Mini:		n/a
RX Jumbo:		n/a
TX:			256
RX Buf Len:		n/a
CQE Size:		n/a
TX Push:		off
RX Push:		off
TX push buff len:	n/a
TCP data split:		off
